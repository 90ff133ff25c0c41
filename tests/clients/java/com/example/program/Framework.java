package com.example.program;

import com.example.shop.Desk;
import java.util.Map;

/** What a framework does for an application. */
interface Framework {
    /** Export services, by interface, and register them. */
    void provide(Arguments arguments, Map<Class<?>, Desk> services) throws Exception;

    /** Get ready to make references. */
    void consume(Arguments arguments) throws Exception;

    /** A reference by its Java interface. */
    Desk refer(Reference wanted) throws Exception;

    /** A reference without the Java interface. */
    Generic referGeneric(Reference wanted) throws Exception;

    /** A call by names. */
    interface Generic {
        Object call(String method, String[] types, Object[] values) throws Exception;
    }
}
