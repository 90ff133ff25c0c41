package com.example.program;

import java.lang.reflect.UndeclaredThrowableException;

/** Errors as text of one line. */
final class Errors {
    private static final int SHOWN = 160;

    private Errors() {}

    /** The class and the message, and the innermost cause's where there is one. */
    static String text(Throwable error) {
        Throwable outer = error;
        while (outer instanceof UndeclaredThrowableException && outer.getCause() != null) {
            outer = outer.getCause();
        }
        Throwable inner = outer;
        while (inner.getCause() != null && inner.getCause() != inner) {
            inner = inner.getCause();
        }
        String text = one(outer);
        return inner == outer ? text : text + " | caused by " + one(inner);
    }

    /** The same without what differs from one call to the next, so that equal errors can be counted. */
    static String kind(Throwable error) {
        String text = text(error).replaceAll("\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d[.,]?\\d*", "TIME");
        text = text.replaceAll("(?<![\\d.:])\\d+(?![\\d.])", "N");
        return text.length() > SHOWN ? text.substring(0, SHOWN) : text;
    }

    private static String one(Throwable error) {
        String message = error.getMessage();
        String text = error.getClass().getName() + ": " + (message == null ? "" : message);
        return text.replaceAll("\\s+", " ").trim();
    }
}
