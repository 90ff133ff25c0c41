package com.example.program;

import com.example.shop.Desk;
import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;

/** Calls that go on in the background, and what became of them. */
final class Steady {
    private static final int KINDS = 20;
    private static final String OTHERS = "(other errors)";

    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean stopped;
    private long calls;
    private long failed;
    private long slowestNs;
    private long gapNs;
    private long lastAnswer;
    private final Map<String, Long> errors = new TreeMap<>();
    private final Map<String, Long> by = new TreeMap<>();

    /** Each thread begins a call every so many milliseconds, or as soon as the one before has ended. */
    synchronized void start(Consumer.Call call, Desk desk, int everyMs, int threadCount) {
        stopped = false;
        if (threads.isEmpty()) {
            lastAnswer = System.nanoTime();
        }
        for (int number = 0; number < threadCount; number++) {
            Thread thread = new Thread(() -> loop(call, desk, everyMs * 1_000_000L), "steady-" + threads.size());
            thread.setDaemon(true);
            threads.add(thread);
            thread.start();
        }
    }

    private void loop(Consumer.Call call, Desk desk, long everyNs) {
        long due = System.nanoTime();
        while (!stopped) {
            long began = System.nanoTime();
            try {
                Object answer = call.on(desk);
                note(began, String.valueOf(answer), null);
            } catch (Throwable error) {
                note(began, null, error);
            }
            due = Math.max(due + everyNs, System.nanoTime());
            for (long left = due - System.nanoTime(); left > 0 && !stopped; left = due - System.nanoTime()) {
                LockSupport.parkNanos(left);
            }
        }
    }

    private synchronized void note(long began, String answer, Throwable error) {
        long now = System.nanoTime();
        calls++;
        slowestNs = Math.max(slowestNs, now - began);
        if (error == null) {
            by.merge(answer, 1L, Long::sum);
            gapNs = Math.max(gapNs, now - lastAnswer);
            lastAnswer = now;
        } else {
            failed++;
            String kind = Errors.kind(error);
            errors.merge(errors.containsKey(kind) || errors.size() < KINDS ? kind : OTHERS, 1L, Long::sum);
        }
    }

    /** What became of the calls that ended since the last time. The longest gap is between two good answers, or
     * between the last one and now. */
    synchronized void tally(JsonObject answer) {
        if (!threads.isEmpty()) {
            gapNs = Math.max(gapNs, System.nanoTime() - lastAnswer);
        }
        answer.addProperty("calls", calls);
        answer.addProperty("failed", failed);
        answer.add("errors", counts(errors));
        answer.add("by", counts(by));
        answer.addProperty("slowest_ms", slowestNs / 1_000_000);
        answer.addProperty("longest_gap_ms", gapNs / 1_000_000);
        calls = failed = slowestNs = gapNs = 0;
        errors.clear();
        by.clear();
    }

    /** End the steady calls; those that are under way are waited for. */
    void stop() throws InterruptedException {
        stopped = true;
        List<Thread> ending;
        synchronized (this) {
            ending = new ArrayList<>(threads);
        }
        for (Thread thread : ending) {
            LockSupport.unpark(thread);
            thread.join();
        }
        synchronized (this) {
            threads.clear();
        }
    }

    private static JsonObject counts(Map<String, Long> counted) {
        JsonObject object = new JsonObject();
        counted.forEach(object::addProperty);
        return object;
    }
}
