package com.example.stock;

public interface PriceService {
    String of(String what);
}
