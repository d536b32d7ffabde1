//! A registry within the process.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Discovery, Instance, View, Watch};

/// Who serves what in this process; a clone is the same registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    services: Arc<Mutex<HashMap<String, Service>>>,
}

/// Keeps an instance in the registry until it is dropped.
#[derive(Debug)]
#[must_use = "the instance leaves the registry when this is dropped"]
pub struct Registration {
    registry: Registry,
    service: String,
    number: u64,
}

#[derive(Debug)]
struct Service {
    last_number: u64,
    registered: Vec<(u64, Instance)>,
    view: watch::Sender<View>,
}

impl Registry {
    /// An empty registry. Its views are live from the start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an instance of a service. One that is registered twice is seen
    /// once, and until both registrations are dropped.
    pub fn register(&self, service: impl Into<String>, instance: Instance) -> Registration {
        let service = service.into();
        let mut services = self.services.lock();
        let entry = services.entry(service.clone()).or_insert_with(Service::new);
        entry.last_number += 1;
        let number = entry.last_number;
        entry.registered.push((number, instance));
        entry.publish();
        drop(services);
        Registration {
            registry: self.clone(),
            service,
            number,
        }
    }
}

impl Service {
    fn new() -> Self {
        Self {
            last_number: 0,
            registered: Vec::new(),
            view: watch::Sender::new(View::live(Vec::new())),
        }
    }

    fn publish(&self) {
        let mut instances: Vec<Instance> = Vec::with_capacity(self.registered.len());
        for (_, instance) in &self.registered {
            if !instances.contains(instance) {
                instances.push(instance.clone());
            }
        }
        let view = View::live(instances);
        self.view.send_if_modified(|current| {
            let changed = *current != view;
            *current = view;
            changed
        });
    }

    /// Nobody serves it and nobody looks.
    fn is_idle(&self) -> bool {
        self.registered.is_empty() && self.view.is_closed()
    }
}

impl Discovery for Registry {
    fn watch(&self, service: &str) -> Watch {
        let mut services = self.services.lock();
        // Watching many services that nobody serves must leave nothing behind.
        services.retain(|_, service| !service.is_idle());
        let entry = services
            .entry(service.to_owned())
            .or_insert_with(Service::new);
        entry.view.subscribe().into()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut services = self.registry.services.lock();
        let Some(service) = services.get_mut(&self.service) else {
            return;
        };
        service
            .registered
            .retain(|(number, _)| *number != self.number);
        service.publish();
        if service.is_idle() {
            services.remove(&self.service);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::Registry;
    use crate::discovery::{Discovery, Freshness, Instance};

    fn instance(port: u16) -> Instance {
        let responses = format!("tcp://127.0.0.1:{}", port + 1);
        Instance::new(format!("tcp://127.0.0.1:{port}"), responses).expect("endpoints")
    }

    #[test]
    fn nobody_serving_is_a_live_and_empty_view() {
        let view = Registry::new().watch("geo").latest();
        assert!(view.instances.is_empty());
        assert_eq!(view.freshness, Freshness::Live);
    }

    #[test]
    fn a_watch_sees_who_comes_and_who_goes() {
        let registry = Registry::new();
        let first = registry.register("geo", instance(1));
        let mut watch = registry.watch("geo");
        let mut next = || watch.next().now_or_never().flatten();
        assert_eq!(next().map(|view| view.instances), Some(vec![instance(1)]));
        assert_eq!(next(), None);

        let second = registry.register("geo", instance(3));
        let other = registry.register("other", instance(5));
        drop(first);
        // What came and went unseen is skipped.
        assert_eq!(next().map(|view| view.instances), Some(vec![instance(3)]));
        assert_eq!(next(), None);

        drop((second, other));
        assert_eq!(next().map(|view| view.instances), Some(Vec::new()));
    }

    #[test]
    fn an_instance_registered_twice_stays_until_both_are_gone() {
        let registry = Registry::new();
        let (first, second) = (
            registry.register("geo", instance(1)),
            registry.register("geo", instance(1)),
        );
        assert_eq!(registry.watch("geo").latest().instances, [instance(1)]);
        drop(first);
        assert_eq!(registry.watch("geo").latest().instances, [instance(1)]);
        drop(second);
        assert!(registry.watch("geo").latest().instances.is_empty());
    }

    #[test]
    fn a_watch_outlives_its_registry() {
        let registry = Registry::new();
        let registration = registry.register("geo", instance(1));
        let mut watch = registry.watch("geo");
        drop((registration, registry));
        let view = watch.next().now_or_never().flatten();
        assert_eq!(view.map(|view| view.instances), Some(Vec::new()));
        assert_eq!(watch.next().now_or_never(), None);
    }

    #[test]
    fn services_that_nobody_serves_or_watches_take_no_memory() {
        let registry = Registry::new();
        for number in 0..100 {
            drop(registry.watch(&format!("service {number}")));
            drop(registry.register(format!("served {number}"), instance(1)));
        }
        assert!(registry.services.lock().len() <= 1);
    }
}
