package com.example.pay.provider;

import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.example.pay.PayService;

public class PayProvider {
    public static void main(String[] args) {
        RegistryConfig registry = new RegistryConfig()
            .setProtocol("zookeeper")
            .setAddress(System.getenv().getOrDefault("ZOOKEEPER", "zookeeper:2181"));

        ServerConfig server = new ServerConfig()
            .setProtocol("bolt")
            .setPort(12200)
            .setDaemon(false);

        new ProviderConfig<PayService>()
            .setApplication(new ApplicationConfig().setAppName("pay"))
            .setInterfaceId(PayService.class.getName())
            .setRef(new PayServiceImpl())
            .setServer(server)
            .setRegistry(registry)
            .export();
    }
}
