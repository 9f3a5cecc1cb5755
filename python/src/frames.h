// The frame of the user's program that runs now, without making an object of it.
#pragma once

#include <Python.h>

namespace ofl::python {

// The code of the innermost frame whose file is not `inside`, as a new reference, and where it
// stands; null without one. With Python's lock held.
PyCodeObject* FindFrame(bool (*inside)(PyObject* file), int* position);
// The line of such a position.
int LineOf(PyCodeObject* code, int position);

}  // namespace ofl::python
