//! What an installation consists of outside its own namespace, and in which order it goes: the list that
//! `uninstall` works off, kept equal to the manifests by a test.

use std::fmt;

use direct_access::names::{self, CANARY_NAMESPACE};
use kube::api::{ApiResource, GroupVersionKind};

use crate::heal::registration;

/// The label by which an installation knows its own namespaces.
pub(super) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", names::FIELD_MANAGER);

/// Holds the right to write to Services and Ingresses; without it no finalizer comes back.
pub(super) const HOLDER_WRITER: &str = "clb-gate-loadbalancers";

/// What kind of thing an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The `MutatingWebhookConfiguration`.
    Registration,
    /// A Namespace, with all that is in it.
    Namespace,
    /// A `ClusterRoleBinding`.
    ClusterRoleBinding,
    /// A `ClusterRole`.
    ClusterRole,
    /// A `RoleBinding`.
    RoleBinding,
    /// A Role.
    Role,
}

/// An object that an uninstall deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Where it is; `None` if it belongs to the whole cluster.
    pub namespace: Option<&'static str>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.singular())?;
        match self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

impl Kind {
    /// As manifests write it.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Registration => "MutatingWebhookConfiguration",
            Self::Namespace => "Namespace",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::ClusterRole => "ClusterRole",
            Self::RoleBinding => "RoleBinding",
            Self::Role => "Role",
        }
    }

    /// As RBAC writes it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Registration => "mutatingwebhookconfigurations",
            Self::Namespace => "namespaces",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::ClusterRole => "clusterroles",
            Self::RoleBinding => "rolebindings",
            Self::Role => "roles",
        }
    }

    /// Its API group; empty is the core's.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Registration => "admissionregistration.k8s.io",
            Self::Namespace => "",
            Self::ClusterRoleBinding | Self::ClusterRole | Self::RoleBinding | Self::Role => {
                "rbac.authorization.k8s.io"
            }
        }
    }

    /// For a client that knows no types.
    pub fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group(), "v1", self.singular());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }
}

/// Everything outside the namespace `installed`, that namespace included, in the order in which it goes:
/// once the Namespace is being deleted nothing is healed any more, and without the registration no pod
/// asks a webhook that goes with the Namespace.
pub fn objects(installed: &str) -> Vec<Object> {
    let whole = |kind, name: &str| Object {
        kind,
        namespace: None,
        name: name.to_owned(),
    };
    let in_kube_system = |kind, name: &str| Object {
        kind,
        namespace: Some(names::KUBE_SYSTEM),
        name: name.to_owned(),
    };
    let mut all = vec![
        whole(Kind::Namespace, installed),
        whole(Kind::Registration, registration::NAME),
        whole(Kind::Namespace, CANARY_NAMESPACE),
    ];
    let roles = [HOLDER_WRITER, "clb-gate-controller", "clb-gate-webhook"];
    for kind in [Kind::ClusterRoleBinding, Kind::ClusterRole] {
        all.extend(roles.map(|name| whole(kind, name)));
    }
    for kind in [Kind::RoleBinding, Kind::Role] {
        let readers = ["clb-gate-controller", "clb-gate-webhook"];
        all.extend(readers.map(|name| in_kube_system(kind, name)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One object of rendered manifests: kind, namespace, name. Enough YAML for what kustomize writes.
    fn head(document: &str) -> (String, Option<String>, String) {
        let top = |key: &str| {
            let line = document.lines().find(|line| line.starts_with(key))?;
            Some(line[key.len()..].trim().to_owned())
        };
        let metadata = document
            .lines()
            .skip_while(|line| *line != "metadata:")
            .skip(1)
            .take_while(|line| line.starts_with(' '));
        let field = |key: &str| {
            let mut lines = metadata.clone();
            let line = lines.find(|line| line.starts_with(key))?;
            Some(line[key.len()..].trim().to_owned())
        };
        (
            top("kind:").unwrap(),
            field("  namespace:"),
            field("  name:").unwrap(),
        )
    }

    fn manifest(path: &str) -> Vec<(String, Option<String>, String)> {
        let path = format!("{}/../manifests/{path}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let documents = text.split("\n---\n").map(str::trim);
        documents
            .filter(|text| text.lines().any(|line| line.starts_with("kind:")))
            .map(head)
            .collect()
    }

    /// Namespaces that go with all that is in them.
    fn gone(namespace: Option<&str>) -> bool {
        namespace.is_some_and(|name| ["clb-gate", CANARY_NAMESPACE].contains(&name))
    }

    #[test]
    fn everything_that_manifests_make_is_deleted() {
        let listed = objects("clb-gate");
        let mut made = manifest("install.yaml");
        made.extend(manifest("components/loadbalancers/rbac.yaml"));
        assert!(made.len() > 15, "the manifests were read: {made:?}");
        for (kind, namespace, name) in made {
            let known = listed.iter().any(|object| {
                (
                    object.kind.singular(),
                    object.namespace,
                    object.name.as_str(),
                ) == (kind.as_str(), namespace.as_deref(), name.as_str())
            });
            assert!(
                known || gone(namespace.as_deref()),
                "{kind} {namespace:?} {name} would stay"
            );
        }
    }

    #[test]
    fn nothing_else_is_deleted() {
        let mut made = manifest("install.yaml");
        made.extend(manifest("components/loadbalancers/rbac.yaml"));
        for object in objects("clb-gate") {
            // The controller makes the registration; the canary's namespace may not be installed yet.
            let own = object.kind == Kind::Registration || object.name == CANARY_NAMESPACE;
            let known = made.iter().any(|(kind, namespace, name)| {
                (
                    object.kind.singular(),
                    object.namespace,
                    object.name.as_str(),
                ) == (kind.as_str(), namespace.as_deref(), name.as_str())
            });
            assert!(own || known, "{object} is not of ours");
        }
    }

    #[test]
    fn healing_stops_before_the_registration_goes() {
        let first: Vec<_> = objects("elsewhere").into_iter().take(2).collect();
        assert_eq!(
            first.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "Namespace elsewhere",
                "MutatingWebhookConfiguration clb-gate"
            ]
        );
    }
}
