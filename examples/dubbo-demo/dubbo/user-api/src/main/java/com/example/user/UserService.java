package com.example.user;

public interface UserService {
    String greet(String name);
}
