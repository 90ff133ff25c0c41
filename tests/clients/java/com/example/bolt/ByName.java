package com.example.bolt;

import com.example.shop.Desk;

/** Called by a direct URL. */
public interface ByName extends Desk {}
