package com.example.program;

import com.alipay.sofa.rpc.api.GenericService;
import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.example.shop.Desk;
import java.util.Map;

/** SOFARPC 5. What is a group elsewhere is a uniqueId here. */
public final class Sofa implements Framework {
    private ApplicationConfig application;
    private RegistryConfig registry;
    private String protocol;

    private Sofa() {}

    public static void main(String[] words) {
        Program.run(new Sofa(), words);
    }

    @Override
    public void provide(Arguments arguments, Map<Class<?>, Desk> services) {
        consume(arguments);
        String address = arguments.get("bind");
        ServerConfig server = new ServerConfig().setProtocol(protocol).setPort(arguments.number("port"));
        server.setHost(address);
        server.setVirtualHost(address); // else a loopback address is registered as the machine's first other one
        for (Map.Entry<Class<?>, Desk> each : services.entrySet()) {
            ProviderConfig<Desk> service = new ProviderConfig<>();
            service.setApplication(application);
            service.setInterfaceId(each.getKey().getName());
            service.setRef(each.getValue());
            service.setServer(server);
            if (registry != null) {
                service.setRegistry(registry);
            } else {
                service.setRegister(false);
            }
            if (arguments.get("group", null) != null) {
                service.setUniqueId(arguments.get("group"));
            }
            if (arguments.get("version", null) != null) {
                service.setVersion(arguments.get("version"));
            }
            if (arguments.number("timeout") != null) {
                service.setTimeout(arguments.number("timeout"));
            }
            service.export();
        }
    }

    @Override
    public void consume(Arguments arguments) {
        application = new ApplicationConfig().setAppName(arguments.get("app"));
        protocol = arguments.get("protocol", "bolt");
        if (arguments.registry() != null) {
            registry = new RegistryConfig().setProtocol("zookeeper").setAddress(arguments.registry());
        }
    }

    @Override
    public Desk refer(Reference wanted) {
        ConsumerConfig<Desk> reference = reference(wanted);
        return reference.refer();
    }

    @Override
    public Generic referGeneric(Reference wanted) {
        ConsumerConfig<GenericService> reference = reference(wanted);
        reference.setGeneric(true);
        return reference.refer()::$invoke;
    }

    private <T> ConsumerConfig<T> reference(Reference wanted) {
        ConsumerConfig<T> reference = new ConsumerConfig<>();
        reference.setApplication(application);
        reference.setInterfaceId(wanted.service);
        reference.setProtocol(protocol);
        if (registry != null) {
            reference.setRegistry(registry);
        }
        if (wanted.group != null) {
            reference.setUniqueId(wanted.group);
        }
        if (wanted.version != null) {
            reference.setVersion(wanted.version);
        }
        Boolean check = wanted.takeFlag("check");
        if (check != null) {
            reference.setCheck(check);
        }
        Boolean lazy = wanted.takeFlag("lazy");
        if (lazy != null) {
            reference.setLazy(lazy);
        }
        Integer timeout = wanted.takeNumber("timeout");
        if (timeout != null) {
            reference.setTimeout(timeout);
        }
        Integer retries = wanted.takeNumber("retries");
        if (retries != null) {
            reference.setRetries(retries);
        }
        Integer connections = wanted.takeNumber("connections");
        if (connections != null) {
            reference.setConnectionNum(connections);
        }
        String cluster = wanted.takeText("cluster");
        if (cluster != null) {
            reference.setCluster(cluster);
        }
        String url = wanted.takeText("directUrl");
        if (url != null) {
            reference.setDirectUrl(url);
        }
        wanted.nothingLeft();
        return reference;
    }
}
