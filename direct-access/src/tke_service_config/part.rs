//! One object of the whole, read field by field: what is taken out of it is read, what is left is told.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::NotApplied;
use crate::listener::context;
use crate::slot::{Protocol, Slot};

const NOT_SERVED: &str = "clb-gate does not set this";
const UNKNOWN: &str = "no such field in TKE's documentation";

/// The object, and where what cannot be applied is told.
pub(super) struct Part<'a> {
    fields: Map<String, Value>,
    path: String,
    told: &'a mut Vec<NotApplied>,
}

impl<'a> Part<'a> {
    pub(super) fn of(value: &Value, path: String, told: &'a mut Vec<NotApplied>) -> Self {
        let fields = value.as_object().cloned();
        if fields.is_none() && !value.is_null() {
            told.push(NotApplied {
                field: path.clone(),
                value: value.to_string(),
                why: "an object is accepted".to_owned(),
            });
        }
        let fields = fields.unwrap_or_default();
        Self { fields, path, told }
    }

    /// A part of it, which is an object itself.
    pub(super) fn inner(&mut self, name: &str) -> Option<Part<'_>> {
        let value = self.take(name)?;
        let part = Part::of(&value, format!("{}.{name}", self.path), self.told);
        value.is_object().then_some(part)
    }

    /// The first section of a place has it: two cannot both hold.
    pub(super) fn first<T>(
        &mut self,
        all: &mut BTreeMap<Slot, T>,
        (protocol, port): (Protocol, u16),
        section: T,
    ) {
        let slot = protocol.at(port);
        match all.entry(slot) {
            Entry::Vacant(free) => _ = free.insert(section),
            Entry::Occupied(_) => {
                let why = "a section before it is for this port; the first holds";
                self.tell("port", &format!("{protocol}:{port}"), why);
            }
        }
    }

    /// What is there of these does not belong here.
    pub(super) fn no_field_of(&mut self, names: &[&str], why: &str) {
        for name in names {
            if let Some(value) = self.take(name) {
                self.tell(name, &value.to_string(), why);
            }
        }
    }

    /// `null` is as good as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn tell(&mut self, name: &str, value: &str, why: &str) {
        self.told.push(NotApplied {
            field: format!("{}.{name}", self.path),
            value: value.to_owned(),
            why: why.to_owned(),
        });
    }

    pub(super) fn refuse<T>(&mut self, name: &str, value: &Value, accepted: &str) -> Option<T> {
        let text = value.as_str().map(str::to_owned);
        let shown = text.unwrap_or_else(|| value.to_string());
        self.tell(name, &shown, &format!("accepted is {accepted}"));
        None
    }

    pub(super) fn needs<T>(&mut self, name: &str) -> Option<T> {
        self.tell(
            name,
            "absent or unreadable",
            "nothing of this listener is applied without it",
        );
        None
    }

    pub(super) fn number(&mut self, name: &str, low: i64, high: i64) -> Option<i64> {
        let value = self.take(name)?;
        let number = value
            .as_i64()
            .filter(|number| (low..=high).contains(number));
        number.or_else(|| self.refuse(name, &value, &format!("a number from {low} to {high}")))
    }

    pub(super) fn port(&mut self) -> Option<u16> {
        if !self.fields.contains_key("port") {
            return self.needs("port");
        }
        self.number("port", 1, 65535)
            .and_then(|port| u16::try_from(port).ok())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        self.refuse(name, &value, "a text")
    }

    pub(super) fn path(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.starts_with('/') {
            return Some(text);
        }
        self.refuse(name, &text.into(), "a path that begins with /")
    }

    pub(super) fn context(&mut self, name: &str, hex: bool) -> Option<String> {
        let text = self.text(name)?;
        match context(&text, hex) {
            Ok(()) => Some(text),
            Err(why) => {
                self.tell(name, &text, why);
                None
            }
        }
    }

    pub(super) fn one_of(&mut self, name: &str, accepted: &[&str]) -> Option<String> {
        let value = self.take(name)?;
        match value.as_str().filter(|text| accepted.contains(text)) {
            Some(text) => Some(text.to_owned()),
            None => self.refuse(name, &value, &format!("one of {}", accepted.join(", "))),
        }
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        value
            .as_bool()
            .or_else(|| self.refuse(name, &value, "true or false"))
    }

    /// `enable` as TKE writes it today, `enabled` as it did in 2020.
    pub(super) fn enabled(&mut self) -> Option<bool> {
        let told = self.told.len();
        let (new, old) = (self.switch("enable"), self.switch("enabled"));
        if let (Some(new), Some(old)) = (new, old)
            && new != old
        {
            self.tell(
                "enabled",
                &old.to_string(),
                "enable says otherwise, and holds",
            );
        }
        let either = new.or(old);
        if either.is_none() && self.told.len() == told {
            self.tell(
                "enable",
                "absent",
                "nothing of this part is applied without true or false",
            );
        }
        either
    }

    /// `field[0]`, `field[1]` …
    pub(super) fn list(&mut self, name: &str) -> Vec<(String, Value)> {
        match self.take(name) {
            None => vec![],
            Some(Value::Array(all)) => {
                let named = all.into_iter().enumerate();
                let path = &self.path;
                named
                    .map(|(index, value)| (format!("{path}.{name}[{index}]"), value))
                    .collect()
            }
            Some(other) => {
                let _: Option<()> = self.refuse(name, &other, "a list");
                vec![]
            }
        }
    }

    /// Whatever nobody took.
    pub(super) fn end(&mut self, not_served: &[&str]) {
        for (name, value) in std::mem::take(&mut self.fields) {
            let why = if not_served.contains(&name.as_str()) {
                NOT_SERVED
            } else {
                UNKNOWN
            };
            self.tell(&name, &value.to_string(), why);
        }
    }
}
