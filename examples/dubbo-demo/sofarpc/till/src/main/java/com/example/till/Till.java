package com.example.till;

import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.example.pay.PayService;
import java.time.LocalTime;
import java.time.temporal.ChronoUnit;

/** Calls twice a second, and prints what came of it. */
public class Till {
    public static void main(String[] args) throws InterruptedException {
        RegistryConfig registry = new RegistryConfig()
            .setProtocol("zookeeper")
            .setAddress(System.getenv().getOrDefault("ZOOKEEPER", "zookeeper:2181"));

        PayService payments = new ConsumerConfig<PayService>()
            .setApplication(new ApplicationConfig().setAppName("till"))
            .setInterfaceId(PayService.class.getName())
            .setProtocol("bolt")
            .setRegistry(registry)
            .setDirectUrl(System.getenv("PAY_SERVICE_URL")) // null: as the registry says
            .refer();

        while (true) {
            try {
                log(payments.pay(1999));
            } catch (RuntimeException e) {
                log(e.toString());
            }
            Thread.sleep(500);
        }
    }

    private static void log(String text) {
        System.out.println(LocalTime.now().truncatedTo(ChronoUnit.MILLIS) + " " + text);
    }
}
