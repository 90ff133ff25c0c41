package com.example.bolt;

import com.example.shop.Desk;

/** Called by the registry. */
public interface ByRegistry extends Desk {}
