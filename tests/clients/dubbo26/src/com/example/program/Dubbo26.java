package com.example.program;

import com.alibaba.dubbo.config.ApplicationConfig;
import com.alibaba.dubbo.config.ProtocolConfig;
import com.alibaba.dubbo.config.ReferenceConfig;
import com.alibaba.dubbo.config.RegistryConfig;
import com.alibaba.dubbo.config.ServiceConfig;
import com.alibaba.dubbo.rpc.service.GenericService;
import com.example.shop.Desk;
import java.util.Map;

/** Dubbo 2.6 (com.alibaba). */
public final class Dubbo26 implements Framework {
    private ApplicationConfig application;
    private RegistryConfig registry;

    private Dubbo26() {}

    public static void main(String[] words) {
        Program.run(new Dubbo26(), words);
    }

    @Override
    public void provide(Arguments arguments, Map<Class<?>, Desk> services) throws Exception {
        consume(arguments);
        ProtocolConfig protocol = new ProtocolConfig(arguments.get("protocol", "dubbo"), arguments.number("port"));
        protocol.setHost(arguments.get("bind"));
        for (Map.Entry<Class<?>, Desk> each : services.entrySet()) {
            ServiceConfig<Desk> service = new ServiceConfig<>();
            service.setApplication(application);
            service.setRegistry(registry);
            service.setProtocol(protocol);
            service.setInterface(each.getKey());
            service.setRef(each.getValue());
            service.setGroup(arguments.get("group", null));
            service.setVersion(arguments.get("version", null));
            service.setTimeout(arguments.number("timeout"));
            service.setRetries(arguments.number("retries"));
            service.setParameters(arguments.pairs("parameters"));
            service.export();
        }
    }

    @Override
    public void consume(Arguments arguments) {
        application = new ApplicationConfig(arguments.get("app"));
        application.setQosEnable(false);
        String address = arguments.registry();
        registry = new RegistryConfig(address == null ? "N/A" : "zookeeper://" + address);
    }

    @Override
    public Desk refer(Reference wanted) throws Exception {
        ReferenceConfig<Desk> reference = reference(wanted);
        reference.setInterface(Class.forName(wanted.service));
        return reference.get();
    }

    @Override
    public Generic referGeneric(Reference wanted) {
        ReferenceConfig<GenericService> reference = reference(wanted);
        reference.setInterface(wanted.service);
        reference.setGeneric(true);
        return reference.get()::$invoke;
    }

    private <T> ReferenceConfig<T> reference(Reference wanted) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setApplication(application);
        reference.setRegistry(registry);
        reference.setGroup(wanted.group);
        reference.setVersion(wanted.version);
        reference.setCheck(wanted.takeFlag("check"));
        reference.setLazy(wanted.takeFlag("lazy"));
        reference.setTimeout(wanted.takeNumber("timeout"));
        reference.setRetries(wanted.takeNumber("retries"));
        reference.setConnections(wanted.takeNumber("connections"));
        reference.setCluster(wanted.takeText("cluster"));
        reference.setLoadbalance(wanted.takeText("loadbalance"));
        reference.setProtocol(wanted.takeText("protocol"));
        reference.setUrl(wanted.takeText("url"));
        wanted.nothingLeft();
        return reference;
    }
}
