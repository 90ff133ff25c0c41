package com.example.tri;

import com.example.shop.Desk;

/** Called by a direct URL that is there twice. */
public interface ByTwoUrls extends Desk {}
