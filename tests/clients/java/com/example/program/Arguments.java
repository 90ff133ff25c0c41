package com.example.program;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The command line: {@code provider} or {@code consumer}, then {@code --name value} pairs. */
final class Arguments {
    final String role;
    private final Map<String, String> given = new HashMap<>();

    Arguments(String[] words) {
        if (words.length % 2 == 0) {
            throw new IllegalArgumentException("provider|consumer --name value ..., not " + Arrays.toString(words));
        }
        role = words[0];
        for (int at = 1; at < words.length; at += 2) {
            if (!words[at].startsWith("--")) {
                throw new IllegalArgumentException("--name value is wanted, not " + words[at]);
            }
            given.put(words[at].substring(2), words[at + 1]);
        }
    }

    String get(String name) {
        String value = given.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    String get(String name, String otherwise) {
        return given.getOrDefault(name, otherwise);
    }

    /** A whole number, or null. */
    Integer number(String name) {
        String value = given.get(name);
        return value == null ? null : Integer.valueOf(value);
    }

    /** {@code name=value,...} as a map, or null. */
    Map<String, String> pairs(String name) {
        if (!given.containsKey(name)) {
            return null;
        }
        Map<String, String> pairs = new HashMap<>();
        for (String pair : given.get(name).split(",")) {
            String[] parts = pair.split("=", 2);
            pairs.put(parts[0], parts[1]);
        }
        return pairs;
    }

    /** The registry's host:port, or null for none. */
    String registry() {
        String value = get("registry");
        return value.equals("none") ? null : value;
    }

    List<String> interfaces() {
        return Arrays.asList(get("interfaces").split(","));
    }
}
