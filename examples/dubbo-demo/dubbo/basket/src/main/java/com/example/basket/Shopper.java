package com.example.basket;

import com.example.stock.PriceService;
import com.example.stock.StockService;
import java.util.function.Supplier;
import org.apache.dubbo.config.annotation.DubboReference;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;

/** Calls both interfaces, one after the other, nearly twenty times a second, and logs what came of it. */
@Component
public class Shopper {
    private static final Logger log = LoggerFactory.getLogger(Shopper.class);

    @DubboReference
    private StockService stock;

    @DubboReference
    private PriceService prices;

    @Scheduled(fixedDelay = 50)
    public void look() {
        log("Stock of tea", () -> stock.left("tea"));
        log("Price of tea", () -> prices.of("tea"));
    }

    private static void log(String what, Supplier<String> call) {
        try {
            log.info("{}: {}", what, call.get());
        } catch (RuntimeException e) {
            log.error("{}: {}", what, e.toString().lines().findFirst().orElse(""));
        }
    }
}
