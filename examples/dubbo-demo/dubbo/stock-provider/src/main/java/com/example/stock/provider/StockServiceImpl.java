package com.example.stock.provider;

import com.example.stock.StockService;
import org.apache.dubbo.config.annotation.DubboService;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;

@DubboService
@ConditionalOnProperty(name = "provides.stock", matchIfMissing = true)
public class StockServiceImpl implements StockService {
    @Value("${HOSTNAME}")
    private String pod;

    @Override
    public String left(String what) {
        return "7 boxes, this is " + pod;
    }
}
