package com.example.tri;

import com.example.shop.Desk;

/** Called by two direct URLs, whose names differ and mean the same. */
public interface ByTwoNames extends Desk {}
