#!/usr/bin/env node
// Validates the AsyncAPI documents that the build makes with AsyncAPI's own parser, and looks whether the
// parser would notice damage at all. The parser is looked for in .tools and where NODE_PATH says; without
// it the test is skipped:
//
//     npm install --prefix .tools @asyncapi/parser
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SKIPPED = 77;
const ERROR = 0;                        // severity of a diagnostic; less is worse

let Parser;
try {
    const places = [path.join(ROOT, '.tools'), ROOT, ...(process.env.NODE_PATH ?? '').split(path.delimiter).filter(Boolean)];
    const require = createRequire(import.meta.url);
    ({ Parser } = require(require.resolve('@asyncapi/parser', { paths: places })));
} catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    console.log('skipped: @asyncapi/parser is not there; npm install --prefix .tools @asyncapi/parser');
    process.exit(SKIPPED);
}

let passed = 0, failed = 0;
function expect(title, isRight, said) {
    if (isRight) { passed++; return; }
    failed++;
    console.log(`failed: ${title}: ${said}`);
}

async function errorsOf(text) {
    const { document, diagnostics } = await new Parser().parse(text);
    const errors = diagnostics.filter(d => d.severity === ERROR).map(d => `${d.path.join('/')}: ${d.message}`);
    return { document, errors };
}

const DAMAGES = {
    'a reference into nothing': d => { Object.values(d.operations)[0].channel.$ref = '#/channels/nothing'; },
    'an unknown field': d => { d.channels2 = {}; },
    'an action that is none': d => { Object.values(d.operations)[0].action = 'listen'; },
    'a type that is none': d => { Object.values(d.components.schemas)[0].type = 'text'; },
};

for (const file of process.argv.slice(2)) {
    const text = readFileSync(file, 'utf8'), name = path.basename(file);
    const { document, errors } = await errorsOf(text);
    expect(`${name} is valid`, document && errors.length === 0, errors.slice(0, 5).join('; '));
    expect(`${name} has operations`, document?.operations().length > 10, document?.operations().length);
    for (const [title, damage] of Object.entries(DAMAGES)) {
        const damaged = JSON.parse(text);
        damage(damaged);
        expect(`${name}: ${title} is noticed`, (await errorsOf(JSON.stringify(damaged))).errors.length > 0, 'it is not');
    }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || passed === 0 ? 1 : 0);
