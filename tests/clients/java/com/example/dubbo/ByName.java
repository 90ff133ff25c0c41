package com.example.dubbo;

import com.example.shop.Desk;

/** Called by a direct URL. */
public interface ByName extends Desk {}
