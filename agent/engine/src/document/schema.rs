//! The JSON Schema of the document, for editors and forms.

use super::Document;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value;
use std::borrow::Cow;
use std::marker::PhantomData;

/// The JSON Schema (draft 2020-12) of a pipeline document, as text that ends with a line break.
pub fn schema() -> String {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>();
    schema.insert("title".into(), "Phoenix pipeline".into());
    let mut value = schema.to_value();
    forbid_null(&mut value);
    let mut text = super::canonical::pretty(&value);
    text.push('\n');
    text
}

/// A field is left out or has a value; the reader refuses a condition that is `null`.
fn forbid_null(value: &mut Value) {
    let null = Value::from("null");
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| *t != null);
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&null));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    map.extend(one);
                }
            }
            map.values_mut().for_each(forbid_null);
        }
        Value::Array(list) => list.iter_mut().for_each(forbid_null),
        _ => {}
    }
}

/// One value or a list of at least one.
pub(super) struct OneOrMany<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}
