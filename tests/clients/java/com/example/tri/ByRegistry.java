package com.example.tri;

import com.example.shop.Desk;

/** Called by the registry. */
public interface ByRegistry extends Desk {}
