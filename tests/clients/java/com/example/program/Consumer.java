package com.example.program;

import com.example.shop.Desk;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/** Does what each line of its input says, and answers each with a line. */
final class Consumer {
    private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();

    private final Framework framework;
    private final Arguments arguments;
    private final PrintStream answers;
    private final Map<String, Desk> references = new HashMap<>();
    private final Map<String, Framework.Generic> generics = new HashMap<>();
    private final Map<String, Steady> steady = new HashMap<>();

    Consumer(Framework framework, Arguments arguments, PrintStream answers) {
        this.framework = framework;
        this.arguments = arguments;
        this.answers = answers;
    }

    void run() throws Exception {
        framework.consume(arguments);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.println(JSON.toJson(answer(JSON.fromJson(line, JsonObject.class))));
            answers.flush();
        }
    }

    private JsonObject answer(JsonObject said) {
        JsonObject answer = new JsonObject();
        long began = System.nanoTime();
        try {
            act(said, answer);
            answer.addProperty("ok", true);
        } catch (Throwable error) {
            answer.addProperty("ok", false);
            answer.addProperty("error", Errors.text(error));
            error.printStackTrace();
        }
        answer.addProperty("ms", Math.round((System.nanoTime() - began) / 1e5) / 10.0);
        return answer;
    }

    private void act(JsonObject said, JsonObject answer) throws Exception {
        String what = said.get("do").getAsString();
        switch (what) {
            case "refer": {
                Reference wanted = new Reference(said);
                references.put(wanted.key(), framework.refer(wanted));
                break;
            }
            case "call":
                answer.add("answer", JSON.toJsonTree(Call.of(said).on(desk(said))));
                break;
            case "generic":
                answer.add("answer", JSON.toJsonTree(Call.of(said).on(generic(said))));
                break;
            case "steady":
                steady(said).start(
                        Call.of(said), desk(said), said.get("every_ms").getAsInt(), said.get("threads").getAsInt());
                break;
            case "tally":
                steady(said).tally(answer);
                break;
            case "stop":
                for (Steady each : steady.values()) {
                    each.stop();
                }
                break;
            default:
                throw new IllegalArgumentException("can not do " + what);
        }
    }

    private Steady steady(JsonObject said) {
        return steady.computeIfAbsent(said.has("as") ? said.get("as").getAsString() : "", as -> new Steady());
    }

    private Desk desk(JsonObject said) {
        Desk desk = references.get(new Reference(said).key());
        if (desk == null) {
            throw new IllegalStateException("no reference was made to " + new Reference(said).key());
        }
        return desk;
    }

    private Framework.Generic generic(JsonObject said) throws Exception {
        Reference wanted = new Reference(said);
        Framework.Generic generic = generics.get(wanted.key());
        if (generic == null) {
            generic = framework.referGeneric(wanted);
            generics.put(wanted.key(), generic);
        }
        return generic;
    }

    /** One method with its arguments. */
    static final class Call {
        final String method;
        private final JsonElement argument;

        private Call(String method, JsonElement argument) {
            this.method = method;
            this.argument = argument;
        }

        static Call of(JsonObject said) {
            String method = said.has("method") ? said.get("method").getAsString() : "whoami";
            return new Call(method, said.get("argument"));
        }

        Object on(Desk desk) {
            switch (method) {
                case "whoami":
                    return desk.whoami(text());
                case "slow":
                    return desk.slow(argument.getAsInt());
                case "attempts":
                    return desk.attempts(pair().get(0).getAsString(), pair().get(1).getAsInt());
                default:
                    throw new IllegalArgumentException("no method " + method);
            }
        }

        Object on(Framework.Generic generic) throws Exception {
            switch (method) {
                case "whoami":
                    return generic.call(method, new String[] {"java.lang.String"}, new Object[] {text()});
                case "slow":
                    return generic.call(method, new String[] {"int"}, new Object[] {argument.getAsInt()});
                case "attempts": {
                    Object[] values = {pair().get(0).getAsString(), pair().get(1).getAsInt()};
                    return generic.call(method, new String[] {"java.lang.String", "int"}, values);
                }
                default:
                    throw new IllegalArgumentException("no method " + method);
            }
        }

        private String text() {
            return argument == null ? "hello" : argument.getAsString();
        }

        private JsonArray pair() {
            return argument.getAsJsonArray();
        }
    }
}
