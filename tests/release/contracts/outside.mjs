// Outside: what the checks by other people's libraries share: finding such a library, which scripts/setup has
// installed into .tools, and counting what holds.
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const TOOLS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../.tools');
let passed = 0, failed = 0;

export function load(name) {
    const require = createRequire(import.meta.url);
    try {
        return require(require.resolve(name, { paths: [TOOLS] }));
    } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') throw error;
        console.error(`${name} is not there; run scripts/setup`);
        process.exit(1);
    }
}

export function expect(title, isRight, said) {
    if (isRight) { passed++; return; }
    failed++;
    console.log(`failed: ${title}: ${said}`);
}

// The line that scripts/test counts; nothing looked at is a failure.
export function finish() {
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed || passed === 0 ? 1 : 0);
}
