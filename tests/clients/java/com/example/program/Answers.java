package com.example.program;

import com.example.a.b.c.d.e.f.g.DeepService;
import com.example.shop.OrderService;
import com.example.shop.Outer;
import com.example.shop.UPPERCASEService;
import com.example.shop.UserService;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** The implementation of every service. */
final class Answers
        implements UserService, OrderService, UPPERCASEService, Outer.InnerService, DeepService,
                com.example.dubbo.ByRegistry, com.example.dubbo.ByName, com.example.dubbo.ByConnections,
                com.example.dubbo.ByTwoUrls, com.example.dubbo.ByTwoNames,
                com.example.tri.ByRegistry, com.example.tri.ByName, com.example.tri.ByConnections,
                com.example.tri.ByTwoUrls, com.example.tri.ByTwoNames,
                com.example.bolt.ByRegistry, com.example.bolt.ByName, com.example.bolt.ByConnections,
                com.example.bolt.ByTwoUrls, com.example.bolt.ByTwoNames {
    private static final long LONGER_THAN_ANY_TIMEOUT_MS = 60_000;

    private final String id;
    private final Map<String, AtomicInteger> calls = new ConcurrentHashMap<>();

    Answers(String id) {
        this.id = id;
    }

    @Override
    public String whoami(String text) {
        return id;
    }

    @Override
    public String slow(int millis) {
        sleep(millis);
        return id;
    }

    @Override
    public int attempts(String key, int failFirst) {
        int number = calls.computeIfAbsent(key, k -> new AtomicInteger()).incrementAndGet();
        if (number <= failFirst) {
            sleep(LONGER_THAN_ANY_TIMEOUT_MS);
        }
        return number;
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("the provider is being stopped", stopped);
        }
    }
}
