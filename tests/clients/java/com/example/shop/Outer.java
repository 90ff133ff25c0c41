package com.example.shop;

public interface Outer {
    /** {@code com.example.shop.Outer$InnerService}: a dollar sign in its name. */
    interface InnerService extends Desk {}
}
