package com.example.program;

import com.example.shop.Desk;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.service.GenericService;

/** Dubbo 2.7 and 3 (org.apache.dubbo). */
public final class Dubbo implements Framework {
    private final DubboBootstrap application = DubboBootstrap.getInstance();

    private Dubbo() {}

    public static void main(String[] words) {
        Program.run(new Dubbo(), words);
    }

    @Override
    public void provide(Arguments arguments, Map<Class<?>, Desk> services) throws Exception {
        begin(arguments);
        ProtocolConfig protocol = new ProtocolConfig(arguments.get("protocol", "dubbo"), arguments.number("port"));
        protocol.setHost(arguments.get("bind"));
        application.protocol(protocol);
        for (Map.Entry<Class<?>, Desk> each : services.entrySet()) {
            ServiceConfig<Desk> service = new ServiceConfig<>();
            service.setId(each.getKey().getName()); // 2.7 exports one service without an id, and no second one
            service.setInterface(each.getKey());
            service.setRef(each.getValue());
            service.setGroup(arguments.get("group", null));
            service.setVersion(arguments.get("version", null));
            service.setTimeout(arguments.number("timeout"));
            service.setRetries(arguments.number("retries"));
            service.setParameters(arguments.pairs("parameters"));
            application.service(service);
        }
        application.start();
    }

    @Override
    public void consume(Arguments arguments) {
        begin(arguments);
        application.start();
    }

    private void begin(Arguments arguments) {
        ApplicationConfig named = new ApplicationConfig(arguments.get("app"));
        named.setQosEnable(false);
        String registry = arguments.registry();
        application.application(named);
        application.registry(new RegistryConfig(registry == null ? "N/A" : "zookeeper://" + registry));
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
        reference.setGeneric("true");
        return reference.get()::$invoke;
    }

    private static <T> ReferenceConfig<T> reference(Reference wanted) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
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
