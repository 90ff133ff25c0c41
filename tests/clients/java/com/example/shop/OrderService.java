package com.example.shop;

public interface OrderService extends Desk {}
