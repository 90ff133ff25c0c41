package com.example.a.b.c.d.e.f.g;

import com.example.shop.Desk;

/** More labels than the ndots of any resolv.conf. */
public interface DeepService extends Desk {}
