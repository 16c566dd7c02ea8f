"""`python -m selective_st.cli`."""

from selective_st.cli import main

if __name__ == "__main__":
    main()
