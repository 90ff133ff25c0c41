package com.example.shop;

import com.example.user.UserService;
import org.apache.dubbo.config.annotation.DubboReference;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;

/** Calls five times a second, and logs what came of it. */
@Component
public class Greeter {
    private static final Logger log = LoggerFactory.getLogger(Greeter.class);

    @DubboReference
    private UserService users;

    @Scheduled(fixedDelay = 200)
    public void greet() {
        try {
            log.info(users.greet("shop"));
        } catch (RuntimeException e) {
            log.error("{}", e.toString().lines().findFirst().orElse(""));
        }
    }
}
