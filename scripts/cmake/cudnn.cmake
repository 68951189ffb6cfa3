# Headers of cuDNN and of its C++ front end, for the attention plugin; the library is found at run time.
# They are looked for in TERN_CUDNN_INCLUDE, among the system's and the toolkit's headers, and where
# scripts/fetch_cudnn_headers.py puts them. Sets TERN_CUDNN_FOUND and TERN_CUDNN_INCLUDES.
set(TERN_CUDNN_INCLUDE "" CACHE PATH "folder with cudnn.h and cudnn_frontend.h")
if(DEFINED ENV{XDG_CACHE_HOME})
  set(fetched $ENV{XDG_CACHE_HOME}/tern/cudnn/include)
else()
  set(fetched $ENV{HOME}/.cache/tern/cudnn/include)
endif()
set(places HINTS ${TERN_CUDNN_INCLUDE} PATHS ${fetched} ${CUDAToolkit_INCLUDE_DIRS})
find_path(TERN_CUDNN_FRONTEND_HEADER cudnn_frontend.h ${places})
find_path(TERN_CUDNN_HEADER cudnn.h ${places})
mark_as_advanced(TERN_CUDNN_FRONTEND_HEADER TERN_CUDNN_HEADER)

set(TERN_CUDNN_FOUND OFF)
if(TERN_CUDNN_FRONTEND_HEADER AND TERN_CUDNN_HEADER)
  set(TERN_CUDNN_FOUND ON)
  set(TERN_CUDNN_INCLUDES ${TERN_CUDNN_FRONTEND_HEADER} ${TERN_CUDNN_HEADER})
else()
  message(STATUS "no attention by cuDNN in this build: no cudnn.h with cudnn_frontend.h "
    "(scripts/fetch_cudnn_headers.py fetches them)")
endif()
