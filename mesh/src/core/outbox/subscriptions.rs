//! Who subscribes to what, by the apps that are declared.

use std::collections::BTreeMap;

use wattle_contracts::id::{ComponentId, Subject, SubjectPattern};
use wattle_contracts::message::Group;
use wattle_contracts::record::App;

/// The subscriptions of all declared apps. They stand in the records, so a message is kept for a
/// subscriber whose nodes can't be reached.
#[derive(Debug, Default)]
pub struct Subscriptions {
    components: BTreeMap<Group, ComponentId>,
    /// By the first token of their pattern; under none where that is a wildcard.
    patterns: BTreeMap<Option<String>, Vec<(SubjectPattern, Group)>>,
}

impl Subscriptions {
    /// The subscriptions of `apps`.
    pub fn new<'a>(apps: impl IntoIterator<Item = &'a App>) -> Self {
        let mut all = Self::default();
        for app in apps {
            for spec in &app.subscriptions {
                let group = Group { app: app.name.clone(), name: spec.group.clone() };
                let component = ComponentId::new(app.name.clone(), spec.component.clone());
                all.components.insert(group.clone(), component);
                for pattern in &spec.subjects {
                    let first = pattern.first_token().map(Into::into);
                    let same = all.patterns.entry(first).or_default();
                    same.push((pattern.clone(), group.clone()));
                }
            }
        }
        all
    }

    /// The groups that subscribe to `subject`, each once, in order.
    pub fn of(&self, subject: &Subject) -> Vec<Group> {
        let mut groups: Vec<Group> = self.matching(subject).cloned().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Whether `group` subscribes to `subject`.
    pub fn takes(&self, group: &Group, subject: &Subject) -> bool {
        self.matching(subject).any(|other| other == group)
    }

    /// Whether `component` handles messages about `subject`, for any group.
    pub fn handles(&self, component: &ComponentId, subject: &Subject) -> bool {
        self.matching(subject).any(|group| self.component(group) == Some(component))
    }

    /// The groups that subscribe to `subject`, once for each pattern that matches.
    fn matching(&self, subject: &Subject) -> impl Iterator<Item = &Group> {
        let first = subject.as_str().split('.').next().map(Into::into);
        let candidates = [first, None].into_iter().filter_map(|token| self.patterns.get(&token));
        let matching = candidates.flatten().filter(|(pattern, _)| pattern.matches(subject));
        matching.map(|(_, group)| group)
    }

    /// The component that handles the messages of `group`.
    pub fn component(&self, group: &Group) -> Option<&ComponentId> {
        self.components.get(group)
    }
}

#[cfg(test)]
mod tests {
    use wattle_contracts::record::SubscriptionSpec;

    use super::*;

    #[test]
    fn each_group_is_found_once() {
        let mut app = App::new("shop".parse().unwrap());
        for (component, subjects, group) in
            [("a", vec!["x.*", "x.>"], "one"), ("b", vec![">"], "two"), ("a", vec!["x.y"], "one")]
        {
            app.subscriptions.push(SubscriptionSpec {
                component: component.parse().unwrap(),
                subjects: subjects.iter().map(|text| text.parse().unwrap()).collect(),
                group: group.parse().unwrap(),
            });
        }
        let all = Subscriptions::new([&app]);
        let of = |text: &str| {
            let groups = all.of(&text.parse().unwrap());
            groups.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("x.y"), ["shop/one", "shop/two"]);
        assert_eq!(of("y"), ["shop/two"]);
        let takes = |group: &str, subject: &str| {
            all.takes(&group.parse().unwrap(), &subject.parse().unwrap())
        };
        assert!(takes("shop/one", "x.y") && takes("shop/two", "y") && !takes("shop/one", "y"));
        assert!(!takes("shop/three", "x.y"));
        let handles = |component: &str, subject: &str| {
            all.handles(&component.parse().unwrap(), &subject.parse().unwrap())
        };
        assert!(handles("shop/a", "x.z") && handles("shop/b", "y") && !handles("shop/a", "y"));
        assert!(!handles("bank/a", "x.y"));
        let component = all.component(&"shop/two".parse().unwrap()).unwrap();
        assert_eq!(component.to_string(), "shop/b");
    }
}
