package com.example.program;

import com.example.shop.Desk;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Map;

/** A provider or a consumer, whatever the framework. */
final class Program {
    private Program() {}

    static void run(Framework framework, String[] words) {
        PrintStream answers = System.out;
        System.setOut(System.err); // whatever frameworks print there is not an answer
        int status = 0;
        try {
            Arguments arguments = new Arguments(words);
            if (arguments.role.equals("provider")) {
                provide(framework, arguments, answers);
            } else if (arguments.role.equals("consumer")) {
                new Consumer(framework, arguments, answers).run();
            } else {
                throw new IllegalArgumentException("provider or consumer, not " + arguments.role);
            }
        } catch (Throwable error) {
            error.printStackTrace();
            status = 1;
        }
        System.exit(status);
    }

    private static void provide(Framework framework, Arguments arguments, PrintStream answers) throws Exception {
        Answers desk = new Answers(arguments.get("id"));
        Map<Class<?>, Desk> services = new LinkedHashMap<>();
        for (String name : arguments.interfaces()) {
            services.put(Class.forName(name), desk);
        }
        framework.provide(arguments, services);
        answers.println("ready");
        answers.flush();
        while (System.in.read() >= 0) {
            continue;
        }
    }
}
