// CPython 3.11 makes frame objects when somebody asks for one, which costs as much as a small
// operator: there the interpreter's own frames are read, of the version that this is built for.
#define Py_BUILD_CORE_MODULE 1
#include "python/src/frames.h"

#include <frameobject.h>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000 && \
    __has_include(<internal/pycore_frame.h>)
#include <internal/pycore_frame.h>
#define OFL_INTERPRETER_FRAMES
#endif

namespace ofl::python {

#ifdef OFL_INTERPRETER_FRAMES

PyCodeObject* FindFrame(bool (*inside)(PyObject* file), int* position) {
  _PyInterpreterFrame* frame = PyThreadState_Get()->cframe->current_frame;
  for (; frame != nullptr; frame = frame->previous) {
    if (_PyFrame_IsIncomplete(frame) || inside(frame->f_code->co_filename)) continue;
    *position = _PyInterpreterFrame_LASTI(frame) * static_cast<int>(sizeof(_Py_CODEUNIT));
    return reinterpret_cast<PyCodeObject*>(Py_NewRef(frame->f_code));
  }
  return nullptr;
}

#else

PyCodeObject* FindFrame(bool (*inside)(PyObject* file), int* position) {
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  while (frame != nullptr) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    if (!inside(code->co_filename)) {
#if PY_VERSION_HEX >= 0x030B0000
      *position = PyFrame_GetLasti(frame);
#else
      *position = PyFrame_GetLineNumber(frame);
#endif
      Py_DECREF(frame);
      return code;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  return nullptr;
}

#endif

int LineOf(PyCodeObject* code, int position) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyCode_Addr2Line(code, position);
#else
  return position;
#endif
}

}  // namespace ofl::python
