#!/usr/bin/env node
// Decodes published events with the CloudEvents project's own library, which knows nothing of ours, and looks whether they
// are what CloudEvents 1.0 and its NATS binding, binary mode, say. The library has no NATS, but HTTP's binary mode is the same
// mapping, with one difference: there the type of the data has a header of its own.
//
//     decode_cloudevents.mjs [--wanted FILE] SAMPLES…
//
// SAMPLES are files that `published read` has written. FILE has an object of JSON a line: so much must at least one event say.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { expect, finish, load } from './outside.mjs';

const { CloudEvent, HTTP } = load('cloudevents');
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const PLAIN = /^[\x21\x23-\x7e]*$/;     // how a header's value may travel: no space, no quote, nothing beyond ASCII

// Attributes are headers `ce-…` in any case of letters, their values percent-encoded.
function decode({ headers, data }) {
    const http = {};
    for (const [key, value] of headers) {
        const name = key.toLowerCase();
        if (!name.startsWith('ce-')) continue;
        http[name === 'ce-datacontenttype' ? 'content-type' : name] = decodeURIComponent(value);
    }
    const event = HTTP.toEvent({ headers: http, body: data });
    event.validate();
    // Strict, which throws what it finds; with the time as it came, because reading puts now for a time that is none.
    return new CloudEvent({ ...event.toJSON(), time: http['ce-time'] }, true);
}

function tryDecode(sample) {
    try { return { event: decode(sample) }; } catch (error) { return { error: error.message }; }
}

function header(sample, name) {
    return sample.headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

function mapping(sample, event) {
    const [, prefix, type] = sample.subject.split('.');
    const data = JSON.parse(sample.data);
    return {
        'specversion': event.specversion === '1.0',
        'id': UUID.test(event.id),
        'source': event.source === (prefix === 'shipping' ? '/shipping' : `/${prefix}-svc`),
        'type': event.type === `${prefix}.${type}.v1`,
        'subject': Object.values(data).includes(event.subject),
        'time': TIME.test(header(sample, 'ce-time')) && event.time === header(sample, 'ce-time'),
        'datacontenttype': event.datacontenttype === 'application/json',
        'correlationid': typeof event.correlationid === 'string' && event.correlationid.length > 0,
        'causationid': event.causationid === undefined || event.causationid.length > 0,     // a request without a key has none
        'data': isDeepStrictEqual(event.data, data),
        'the encoding': sample.headers.every(([, value]) => PLAIN.test(value)),
    };
}

function survivesAnotherTransport(event) {
    const again = HTTP.toEvent(HTTP.structured(event));
    return isDeepStrictEqual(again.toJSON(), event.toJSON());
}

function says(whole, part) {
    if (typeof part !== 'object' || part === null) return whole === part;
    return typeof whole === 'object' && whole !== null && Object.keys(part).every(key => says(whole[key], part[key]));
}

// The library must refuse what is none, or all of this says nothing.
const DAMAGES = {
    'without an id': headers => headers.filter(([key]) => key !== 'ce-id'),
    'without a type': headers => headers.filter(([key]) => key !== 'ce-type'),
    'with an empty source': headers => headers.map(([key, value]) => [key, key === 'ce-source' ? '' : value]),
    'with a time that is none': headers => headers.map(([key, value]) => [key, key === 'ce-time' ? 'yesterday' : value]),
    'with an extension that has no such name': headers => [...headers, ['ce-correlation_id', 'x']],
    'with a schema that is no URI': headers => [...headers, ['ce-dataschema', 'a b']],
};

const files = process.argv.slice(2), wanted = [];
if (files[0] === '--wanted')
    wanted.push(...readFileSync(files.splice(0, 2)[1], 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line)));
const samples = files.flatMap(file => readFileSync(file, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line)));
const events = [];
for (const sample of samples) {
    const title = `${sample.subject} ${header(sample, 'journey-position')}`;
    const { event, error } = tryDecode(sample);
    expect(`${title} is a CloudEvent`, event, error);
    if (!event) continue;
    events.push(event);
    const wrong = Object.entries(mapping(sample, event)).filter(([, isRight]) => !isRight).map(([name]) => name);
    expect(`${title} is mapped as the binding says`, wrong.length === 0, `not ${wrong.join(', ')}`);
    expect(`${title} can travel on in structured mode`, survivesAnotherTransport(event), 'it comes back as another');
}
expect('source and id are unique', new Set(events.map(event => `${event.source} ${event.id}`)).size === samples.length, 'they are not');
for (const part of wanted)
    expect(`an event says ${JSON.stringify(part)}`, events.some(event => says(event, part)), 'none does');
for (const [title, damage] of Object.entries(DAMAGES)) {
    const { event } = tryDecode({ ...samples[0], headers: damage(samples[0].headers) });
    expect(`an event ${title} is refused`, !event, 'it is not');
}
finish();
