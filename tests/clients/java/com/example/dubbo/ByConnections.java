package com.example.dubbo;

import com.example.shop.Desk;

/** Called by a direct URL with several connections. */
public interface ByConnections extends Desk {}
