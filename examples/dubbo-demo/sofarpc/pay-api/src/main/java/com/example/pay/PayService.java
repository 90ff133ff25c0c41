package com.example.pay;

public interface PayService {
    String pay(long cents);
}
