package com.example.stock;

public interface StockService {
    String left(String what);
}
