package com.example.program;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.HashMap;
import java.util.Map;

/** What an application's code says of a service that it calls; what it leaves out is null. */
final class Reference {
    final String service;
    final String group;
    final String version;
    private final Map<String, JsonElement> options = new HashMap<>();

    Reference(JsonObject said) {
        service = said.get("interface").getAsString();
        group = text(said, "group");
        version = text(said, "version");
        if (said.has("options")) {
            said.getAsJsonObject("options").entrySet().forEach(each -> options.put(each.getKey(), each.getValue()));
        }
    }

    /** Two references are the same one when this is. */
    String key() {
        return service + "/" + group + "/" + version;
    }

    /** Take an option, or null. */
    JsonElement take(String name) {
        return options.remove(name);
    }

    String takeText(String name) {
        JsonElement value = take(name);
        return value == null ? null : value.getAsString();
    }

    Integer takeNumber(String name) {
        JsonElement value = take(name);
        return value == null ? null : Integer.valueOf(value.getAsInt());
    }

    Boolean takeFlag(String name) {
        JsonElement value = take(name);
        return value == null ? null : Boolean.valueOf(value.getAsBoolean());
    }

    /** Refuse what the framework took no notice of. */
    void nothingLeft() {
        if (!options.isEmpty()) {
            throw new IllegalArgumentException("no such options here: " + options.keySet());
        }
    }

    private static String text(JsonObject said, String name) {
        return said.has(name) && !said.get(name).isJsonNull() ? said.get(name).getAsString() : null;
    }
}
