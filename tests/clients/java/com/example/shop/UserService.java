package com.example.shop;

public interface UserService extends Desk {}
