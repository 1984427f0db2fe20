//! What the gateway in memory does for each call.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use gyre_model::catalog::{FieldType, catalog};
use gyre_model::{Error, Kind, Uuid, validate};
use gyre_proto::common::v1::{Operation, OperationState, OperationStep, OperationStepState};
use gyre_proto::{Message as _, Timestamp};
use prost_reflect::{DynamicMessage, Value};
use tonic::{Request, Status};

use super::server::Handler;
use super::{Call, PASSWORD};

impl Handler {
    /// Writes the call down, and refuses it where that was asked for.
    pub fn admit(&self, request: &Request<Bytes>) -> Result<DynamicMessage, Status> {
        let message = DynamicMessage::decode(self.method.descriptor.input(), request.get_ref().clone())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut state = self.state.lock().unwrap();
        state.calls.push(Call {
            name: self.method.name,
            request: message.clone(),
            authorization: header("authorization"),
            traceparent: header("traceparent"),
            callback: header("x-gyre-callback"),
        });
        let believed = match (&state.tokens, header("authorization")) {
            (None, _) => true,
            (Some(_), _) if self.method.name == "CreateSession" => true,
            (Some(tokens), Some(sent)) => tokens.iter().any(|token| sent == format!("Bearer {token}")),
            (Some(_), None) => false,
        };
        if !believed {
            return Err(Error::new(Kind::Unauthenticated, "UNAUTHENTICATED", "nobody knows this token").into());
        }
        if let Some(fault) = state.faults.get(self.method.name) {
            return Err(fault.clone().into());
        }
        validate::check(self.method, request.get_ref())?;
        Ok(message)
    }

    fn answer(&self, message: &impl gyre_proto::Message) -> DynamicMessage {
        DynamicMessage::decode(self.method.descriptor.output(), message.encode_to_vec().as_slice()).unwrap()
    }

    fn empty(&self) -> DynamicMessage {
        DynamicMessage::new(self.method.descriptor.output())
    }

    fn kind(&self) -> &'static str {
        let message = self.method.service.trim_end_matches("Service");
        catalog().kinds().find(|kind| kind.message == message).map_or("", |kind| kind.kind)
    }

    pub fn operation(&self, kind: &str, resource: &str) -> Operation {
        let operation = Operation {
            uuid: Uuid::new_v4().to_string(),
            workflow: format!("{}-{kind}", self.method.name.to_ascii_lowercase()),
            resource_kind: kind.to_owned(),
            resource_uuid: resource.to_owned(),
            create_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            state: OperationState::Running.into(),
            ..Operation::default()
        };
        self.state.lock().unwrap().operations.insert(operation.uuid.clone(), operation.clone());
        operation
    }

    pub fn change(
        &self,
        kind: &str,
        uuid: &str,
        change: impl FnOnce(&mut DynamicMessage),
    ) -> Result<DynamicMessage, Status> {
        let mut state = self.state.lock().unwrap();
        let found = state.resources.get_mut(&(kind.to_owned(), uuid.to_owned()));
        let found = found.ok_or_else(|| Status::from(Error::not_found(kind, uuid)))?;
        change(found);
        Ok(found.clone())
    }

    pub fn unary(&self, request: &DynamicMessage) -> Result<DynamicMessage, Status> {
        let kind = self.kind();
        let uuid = text(request, "uuid");
        let work = self.method.output == "gyre.common.v1.Operation";
        let answer = |resource: DynamicMessage| {
            if work { self.answer(&self.operation(kind, &text(&resource, "uuid"))) } else { resource }
        };
        match self.method.name {
            "CreateSession" => self.sign_in(request),
            "ListMembers" => Ok(DynamicMessage::deserialize(
                self.method.descriptor.output(),
                serde_json::json!({"epoch": "7", "members": [
                    {"uuid": Uuid::nil().to_string(), "service": "vm", "address": "local", "version": "0.1.0"}]}),
            )
            .unwrap()),
            "WriteVmConsole" => {
                let typed = bytes_of(request, "data");
                self.state.lock().unwrap().typed.extend_from_slice(&typed);
                Ok(self.empty())
            }
            "GetOperation" | "WaitOperation" | "CancelOperation" => {
                let state = self.state.lock().unwrap();
                let found = state.operations.get(&uuid).cloned();
                drop(state);
                found.map(|found| self.answer(&found)).ok_or_else(|| Error::not_found("operation", &uuid).into())
            }
            "ListOperations" => Ok(self.empty()),
            name if name.starts_with("Create") => Ok(answer(self.create(kind, request))),
            name if name.starts_with("List") => Ok(self.list(kind, request)),
            name if name.starts_with("Update") => self.update(kind, request),
            name if name.starts_with("Delete") => {
                self.change(kind, &uuid, |_| {})?;
                if kind != "vm" {
                    self.state.lock().unwrap().resources.remove(&(kind.to_owned(), uuid.clone()));
                }
                Ok(if work { self.answer(&self.operation(kind, &uuid)) } else { self.empty() })
            }
            _ => self.change(kind, &uuid, |_| {}).map(answer),
        }
    }

    fn sign_in(&self, request: &DynamicMessage) -> Result<DynamicMessage, Status> {
        if text(request, "password") != PASSWORD {
            return Err(Error::new(Kind::Unauthenticated, "WRONG_PASSWORD", "account and password do not fit").into());
        }
        let token = format!("token-{}", Uuid::new_v4().simple());
        if let Some(tokens) = &mut self.state.lock().unwrap().tokens {
            tokens.push(token.clone());
        }
        let mut answer = self.empty();
        answer.set_field_by_name("token", Value::String(token));
        let expire = answer.get_field_by_name_mut("expire_time").unwrap().as_message_mut().unwrap();
        expire.set_field_by_name("seconds", Value::I64(gyre_model::time::now_micros() / 1_000_000 + 3600));
        Ok(answer)
    }

    fn create(&self, kind: &str, request: &DynamicMessage) -> DynamicMessage {
        let name = catalog().kind(kind).unwrap().message;
        let input = catalog().message(self.method.input).unwrap();
        let body = input.fields.iter().find(|field| field.ty == FieldType::Message(name)).unwrap();
        let mut resource = request.get_field_by_number(body.number).unwrap().as_message().unwrap().clone();
        if text(&resource, "uuid").is_empty() {
            resource.set_field_by_name("uuid", Value::String(Uuid::new_v4().to_string()));
        }
        // What the resource is like once its work is done.
        match kind {
            "host" => resource.set_field_by_name("status", Value::EnumNumber(2)),
            "image" => resource.set_field_by_name("state", Value::EnumNumber(2)),
            "vm" => {
                resource.set_field_by_name("state", Value::EnumNumber(3));
                resource.set_field_by_name("addresses", Value::List(vec![Value::String("10.86.0.10".into())]));
            }
            _ => {}
        }
        let key = (kind.to_owned(), text(&resource, "uuid"));
        self.state.lock().unwrap().resources.insert(key, resource.clone());
        resource
    }

    /// Knows filters of the form `name = "…"` and pages by number.
    fn list(&self, kind: &str, request: &DynamicMessage) -> DynamicMessage {
        let filter = text(request, "filter");
        let wanted = filter.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"'));
        let wanted = wanted.map(|name| name.replace("\\\"", "\"").replace("\\\\", "\\"));
        let state = self.state.lock().unwrap();
        let all: Vec<_> = state
            .resources
            .iter()
            .filter(|((of, _), resource)| {
                of == kind
                    && wanted.as_ref().is_none_or(|name| {
                        let has = text(resource, "name");
                        name.strip_suffix('*').map_or(has == *name, |start| has.starts_with(start))
                    })
            })
            .map(|(_, resource)| Value::Message(resource.clone()))
            .collect();
        let size = request.get_field_by_name("page_size").unwrap().as_i32().unwrap();
        let size = if size == 0 { 100 } else { usize::try_from(size).unwrap() };
        let from: usize = text(request, "page_token").parse().unwrap_or(0);
        let mut answer = self.empty();
        let rows = self.method.descriptor.output().fields().find(|field| field.is_list()).unwrap();
        answer.set_field(&rows, Value::List(all.iter().skip(from).take(size).cloned().collect()));
        if from + size < all.len() {
            answer.set_field_by_name("next_page_token", Value::String((from + size).to_string()));
        }
        answer
    }

    fn update(&self, kind: &str, request: &DynamicMessage) -> Result<DynamicMessage, Status> {
        let (_, body) = request.fields().find(|(field, _)| field.name() != "update_mask").unwrap();
        let new = body.as_message().unwrap().clone();
        let mask = request.get_field_by_name("update_mask").unwrap().as_message().unwrap().clone();
        let paths = mask.get_field_by_name("paths").unwrap().as_list().unwrap().to_vec();
        self.change(kind, &text(&new, "uuid"), |resource| {
            for path in paths {
                let path = path.as_str().unwrap();
                resource.set_field_by_name(path, new.get_field_by_name(path).unwrap().into_owned());
            }
        })
    }

    pub fn stream(&self, request: &DynamicMessage) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        if self.method.name == "ReadVmConsole" {
            let descriptor = self.method.descriptor.output();
            let lines = ["SeaBIOS\r\n", "Hello from ", "Gyre\r\nlogin: "].map(|line| {
                let mut piece = DynamicMessage::new(descriptor.clone());
                piece.set_field_by_name("data", Value::Bytes(Bytes::from(line)));
                Ok(Bytes::from(piece.encode_to_vec()))
            });
            let follow = request.get_field_by_name("follow").unwrap().as_bool().unwrap();
            let lines = stream::iter(lines);
            return Ok(if follow { lines.chain(stream::pending()).boxed() } else { lines.boxed() });
        }
        let uuid = text(request, "uuid");
        let mut state = self.state.lock().unwrap();
        let Some(operation) = state.operations.get(&uuid).cloned() else {
            return Err(Error::not_found("operation", &uuid).into());
        };
        let step = |name: &str, state: OperationStepState, percent| OperationStep {
            name: name.to_owned(),
            state: state.into(),
            percent,
            ..OperationStep::default()
        };
        let mut seen = vec![
            Operation {
                percent: 10,
                steps: vec![step("allocate", OperationStepState::Running, 20)],
                ..operation.clone()
            },
            Operation {
                percent: 60,
                steps: vec![
                    step("allocate", OperationStepState::Done, 100),
                    step("start", OperationStepState::Running, 30),
                ],
                ..operation.clone()
            },
        ];
        if state.broken_watches > 0 {
            state.broken_watches -= 1;
            let broken = Status::unavailable("the owner moved");
            let seen = seen.into_iter().map(|operation| Ok(operation.encode_to_vec().into()));
            return Ok(stream::iter(seen.chain([Err(broken)])).boxed());
        }
        if !state.endless {
            let (ended, error) = match &state.failing {
                Some(error) => (OperationState::Failed, Some(error.into())),
                None => (OperationState::Succeeded, None),
            };
            let last = Operation { state: ended.into(), percent: 100, error, ..operation };
            state.operations.insert(uuid, last.clone());
            seen.push(last);
        }
        let endless = state.endless;
        let seen = stream::iter(seen.into_iter().map(|operation| Ok(operation.encode_to_vec().into())));
        Ok(if endless { seen.chain(stream::pending()).boxed() } else { seen.boxed() })
    }
}

pub fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub fn bytes_of(message: &DynamicMessage, field: &str) -> Bytes {
    message.get_field_by_name(field).unwrap().as_bytes().unwrap().clone()
}
