package com.example.stock.provider;

import com.example.stock.PriceService;
import org.apache.dubbo.config.annotation.DubboService;
import org.springframework.beans.factory.annotation.Value;

@DubboService
public class PriceServiceImpl implements PriceService {
    @Value("${HOSTNAME}")
    private String pod;

    @Override
    public String of(String what) {
        return "4.20 a box, this is " + pod;
    }
}
