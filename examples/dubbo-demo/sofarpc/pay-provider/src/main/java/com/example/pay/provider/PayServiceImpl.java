package com.example.pay.provider;

import com.example.pay.PayService;

public class PayServiceImpl implements PayService {
    @Override
    public String pay(long cents) {
        return "Paid " + cents + " cents, this is " + System.getenv("HOSTNAME");
    }
}
