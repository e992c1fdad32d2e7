#!/usr/bin/env node
// Validates the AsyncAPI documents that the build makes with AsyncAPI's own parser, and looks whether the
// parser would notice damage at all.
import { readFileSync } from 'node:fs';
import { expect, finish, load } from './outside.mjs';

const ERROR = 0;                        // severity of a diagnostic; less is worse
const { Parser } = load('@asyncapi/parser');
const parser = new Parser();

async function errorsOf(text) {
    const { document, diagnostics } = await parser.parse(text);
    const errors = diagnostics.filter(d => d.severity === ERROR).map(d => `${d.path.join('/')}: ${d.message}`);
    return { document, errors };
}

const DAMAGES = {
    'a reference into nothing': d => { Object.values(d.operations)[0].channel.$ref = '#/channels/nothing'; },
    'an unknown field': d => { d.channels2 = {}; },
    'an action that is none': d => { Object.values(d.operations)[0].action = 'listen'; },
    'a type that is none': d => { Object.values(d.components.schemas)[0].type = 'text'; },
};

const files = process.argv.slice(2);
for (const file of files) {
    const { document, errors } = await errorsOf(readFileSync(file, 'utf8'));
    expect(`${file} is valid`, document && errors.length === 0, errors.slice(0, 5).join('; '));
    expect(`${file} has operations`, document?.operations().length > 10, document?.operations().length);
}
// Whether it would notice is the same question for each of them; a parse takes most of a second.
for (const [title, damage] of Object.entries(DAMAGES)) {
    const damaged = JSON.parse(readFileSync(files[0], 'utf8'));
    damage(damaged);
    expect(`${title} is noticed`, (await errorsOf(JSON.stringify(damaged))).errors.length > 0, 'it is not');
}
finish();
