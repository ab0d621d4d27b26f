//! What is known of the load balancers we make: which one was seen to be made for which Service, and
//! what stands in the way of the others.

use std::collections::{BTreeMap, HashMap};

use direct_access::ObjectRef;

/// What is known of the load balancers we make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    ids: HashMap<String, String>,
    problems: BTreeMap<ObjectRef, String>,
}

impl Made {
    /// These ids, by the UID of the Service whose tag the load balancer carries.
    pub fn of(ids: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            problems: BTreeMap::new(),
        }
    }

    /// The load balancer whose tags say that it was made for the Service of this UID.
    pub fn id(&self, service_uid: &str) -> Option<&str> {
        self.ids.get(service_uid).map(String::as_str)
    }

    /// What a user should know, by Service.
    pub fn problems(&self) -> impl Iterator<Item = (&ObjectRef, &str)> {
        let all = self.problems.iter();
        all.map(|(service, problem)| (service, problem.as_str()))
    }

    /// Takes in that its tags were seen.
    pub fn confirm(&mut self, service_uid: &str, id: &str) {
        self.ids.insert(service_uid.to_owned(), id.to_owned());
    }

    /// Takes in what a user should know: the whole note, which names the Service.
    pub fn tell(&mut self, service: ObjectRef, problem: String) {
        self.problems.insert(service, problem);
    }
}
