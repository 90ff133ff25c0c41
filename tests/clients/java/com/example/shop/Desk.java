package com.example.shop;

/** What every service here can do; a provider's answers tell which process gave them. */
public interface Desk {
    /** The provider's id. */
    String whoami(String text);

    /** The provider's id, after so many milliseconds. */
    String slow(int millis);

    /** How often this provider was called with this key; the first {@code failFirst} calls outlast any timeout. */
    int attempts(String key, int failFirst);
}
