//! A list that never changes.

use super::{Discovery, Instance, View, Watch};

/// Instances that are known beforehand, the same for every service.
///
/// ```
/// use pushsub::{Instance, Static};
///
/// let broker = Instance::new("tcp://127.0.0.1:6001", "tcp://127.0.0.1:6002")?;
/// let discovery = Static::new([broker]);
/// # Ok::<(), pushsub::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Static {
    instances: Vec<Instance>,
}

impl Static {
    /// A list of these instances; one that is listed twice counts once.
    #[must_use]
    pub fn new(instances: impl IntoIterator<Item = Instance>) -> Self {
        let mut distinct = Vec::new();
        for instance in instances {
            if !distinct.contains(&instance) {
                distinct.push(instance);
            }
        }
        Self {
            instances: distinct,
        }
    }
}

impl From<Instance> for Static {
    fn from(instance: Instance) -> Self {
        Self::new([instance])
    }
}

impl Discovery for Static {
    fn watch(&self, _service: &str) -> Watch {
        Watch::fixed(View::live(self.instances.clone()))
    }
}

/// A list as it is.
impl Discovery for Vec<Instance> {
    fn watch(&self, service: &str) -> Watch {
        Static::new(self.iter().cloned()).watch(service)
    }
}

/// One instance is a list of one, so that a program can name it where it connects.
impl Discovery for Instance {
    fn watch(&self, _service: &str) -> Watch {
        Watch::fixed(View::live(vec![self.clone()]))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::Static;
    use crate::discovery::{Discovery, Freshness, Instance};

    #[test]
    fn a_fixed_list_is_one_live_view_and_never_ends() {
        let one = Instance::new("tcp://127.0.0.1:1", "tcp://127.0.0.1:2").expect("endpoints");
        let mut watch = Static::new([one.clone(), one.clone()]).watch("any");
        let view = watch.next().now_or_never().flatten().expect("at once");
        assert_eq!(view.instances, [one]);
        assert_eq!(view.freshness, Freshness::Live);
        assert_eq!(watch.next().now_or_never(), None);
    }
}
