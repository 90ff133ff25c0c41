package com.example.user.provider;

import com.example.user.UserService;
import org.apache.dubbo.config.annotation.DubboService;
import org.springframework.beans.factory.annotation.Value;

@DubboService
public class UserServiceImpl implements UserService {
    @Value("${HOSTNAME}")
    private String pod;

    @Override
    public String greet(String name) {
        return "Hello " + name + ", this is " + pod;
    }
}
