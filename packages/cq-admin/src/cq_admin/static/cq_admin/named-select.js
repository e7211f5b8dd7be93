// The admin's autocomplete makes a box of each select; here it gets the name of its label.
django.jQuery(() => {
    for (const select of document.querySelectorAll("select.admin-autocomplete")) {
        const text = document.getElementById(`select2-${select.id}-container`);
        const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
        if (text && label) {
            label.id = `${select.id}-label`;
            text.setAttribute("aria-labelledby", label.id);
            text.parentElement.setAttribute("aria-labelledby", `${label.id} ${text.id}`);
        }
    }
});
