package com.example.shop;

/** Names are compared without case in DNS, and with it in Java. */
public interface UPPERCASEService extends Desk {}
